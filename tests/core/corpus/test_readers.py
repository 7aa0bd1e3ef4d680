"""The registry: every name in it is a module with what a reader needs."""

import subprocess
import sys

import pytest

from sertool.core.corpus.readers import READERS, reader
from sertool.core.corpus.splits import Protocol


@pytest.mark.parametrize("name", READERS)
def test_a_name_is_a_module_that_reads(name):
    assert callable(reader(name).read) and isinstance(reader(name).PROTOCOL, Protocol)


def test_listing_the_names_imports_nothing_heavy():
    code = (
        "import sys, sertool.core.corpus.readers; print({'pandas', 'numpy', 'pyarrow', 'soundfile'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
