"""Folder names: readable, confined, unique."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.slugs import slug


@pytest.mark.parametrize("key", ["checkout-button", "対照群", "zoë", "v2.1_final", "тест", "क्रिकेट"])
def test_a_plain_name_in_any_script_stays_as_it_is(key):
    assert slug(key) == unicodedata.normalize("NFC", key)


@pytest.mark.parametrize(
    ("key", "start"),
    [
        ("../../etc/passwd", "etc-passwd-"),
        ("Banner 😀", "banner-"),
        ("", "experiment-"),
        ("..", "experiment-"),
        ("😀", "experiment-"),
        ("assets", "assets-"),
        ("CON", "con-"),
        ("a-0123abcd", "a-0123abcd-"),
        ("x" * 500, "xxx"),
        ("a\x00b\nc", "a-b-c-"),
    ],
)
def test_any_other_key_gets_a_hash(key, start):
    assert slug(key).startswith(start)
    assert len(slug(key).encode()) < 100


@given(st.lists(st.text(alphabet="aAbé-e\u0301./\\ 1対", max_size=8), min_size=2, max_size=12, unique=True))
def test_no_two_keys_share_a_folder_even_where_case_and_accents_do_not_count(keys):
    folders = {unicodedata.normalize("NFC", slug(key)).casefold() for key in keys}
    assert len(folders) == len(keys)


@given(st.text())
def test_a_folder_never_leaves_its_parent(key):
    name = slug(key)
    assert name
    assert not name.startswith((".", "-"))
    assert not set(name) & set('/\\:*?"<>|\0\n ')
