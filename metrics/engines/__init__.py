"""Engines: what runs the compiled SQL. An engine knows a connection; the tables are the lake's."""
