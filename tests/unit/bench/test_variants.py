"""The builds that the plugin is measured beside keep up with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import variants

if TYPE_CHECKING:
    from pathlib import Path

# One that needs a module more than the plugin has would be downloaded.
ALONE = [variant for variant in variants.VARIANTS if not variant.module]


@pytest.mark.parametrize("variant", ALONE, ids=lambda variant: variant.label)
def test_a_variant_builds(variant: variants.Variant, tmp_path: Path) -> None:
    assert variants.built(variant, tmp_path / "built").stat().st_size > 1_000_000
