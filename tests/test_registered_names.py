"""None of our names exists in the libraries: a child registry is searched first and would shadow the root's."""

import mmdet.registry
import mmpretrain.registry
import pytest
from mmdet.utils import register_all_modules as register_mmdet
from mmengine import registry as root
from mmpretrain.utils import register_all_modules as register_mmpretrain

import askd_mmdet.classification
import askd_mmdet.detection
import askd_mmdet.recognition  # noqa: F401

REGISTRIES = ('DATASETS', 'FUNCTIONS', 'HOOKS', 'METRICS', 'MODELS', 'RUNNERS', 'TRANSFORMS')


@pytest.fixture(scope='module')
def modules():
    """Every registered class of a kind: (scope, name, class)."""
    register_mmdet(init_default_scope=False)
    register_mmpretrain(init_default_scope=False)
    found = {}
    for kind in REGISTRIES:
        registries = [getattr(library, kind, None) for library in (root, mmdet.registry, mmpretrain.registry)]
        scopes = {id(r): r for parent in filter(None, registries) for r in (parent, *parent.children.values())}
        found[kind] = [(r.scope, name, thing) for r in scopes.values() for name, thing in r.module_dict.items()]
    return found


@pytest.mark.parametrize('kind', REGISTRIES)
def test_no_name_of_ours_is_taken(modules, kind):
    def ours(thing):
        return thing.__module__.startswith('askd_mmdet.')

    # Two libraries may each have one of ours of the same name, but not a library and the root.
    names = [(scope, name) for scope, name, thing in modules[kind] if ours(thing)]
    assert len(names) == len(set(names))
    roots, children = ({name for scope, name in names if (scope == 'mmengine') == root} for root in (True, False))
    assert not roots & children
    names = roots | children
    assert not names & {name for _, name, thing in modules[kind] if not ours(thing)}
    assert names or kind not in ('DATASETS', 'HOOKS', 'METRICS', 'MODELS', 'TRANSFORMS')
