import json
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2].parent / "shared" / "hash_vectors.json"


@pytest.fixture(scope="session")
def hash_vectors():
    """The published vectors, read where they lie beside the repository."""
    if not VECTORS.is_file():
        pytest.skip("../shared/hash_vectors.json is not there: the published hash vectors were NOT checked")
    return json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
