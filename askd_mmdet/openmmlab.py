"""OpenMMLab's libraries, imported with a look at how they are installed, and without their chatter."""

import io
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import Distribution

# The distributions of an import name: upstream's, and last OneDL's. pip installs one over another without a word.
_DISTRIBUTIONS = {
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-full', 'mmcv-lite', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
}
# Both libraries print it on import for a service that nobody asked for.
_NOTICE = 'Could not import OneDL'


def check(*names: str) -> None:
    """See that each of these libraries, by import name, comes from one distribution.

    Raises:
        RuntimeError: When two are installed, whose files are mixed then. (No ImportError: of those that a config's
            `custom_imports` meets, MMEngine drops the text.)
    """
    for name in names:
        found = [dist for each in _DISTRIBUTIONS[name] for dist in Distribution.discover(name=each)]
        found = {dist.metadata['Name']: dist.version for dist in found}
        if len(found) > 1:
            raise RuntimeError(
                f'{" and ".join(map(" ".join, found.items()))} are installed over each other, both as `import {name}`: '
                f'remove them (pip uninstall -y {" ".join(found)}) and install one of them anew'
            )


def load(library: str) -> None:
    """Import the data sets and models of 'mmdet' or 'mmpretrain', as the first who needs them.

    Raises:
        RuntimeError: When the library is missing, installed twice, or without mmcv's operators; says what to do.
    """
    check('mmengine', 'mmcv', library)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            import_module(f'{library}.datasets')
            import_module(f'{library}.models')
    except ImportError as error:
        if error.name == library:
            raise RuntimeError(f'{library} is not installed: pip install {_DISTRIBUTIONS[library][-1]}') from error
        if error.name == 'mmcv._ext':
            raise RuntimeError(
                f"mmcv's operators, which {library} needs, cannot be imported ({error}); compile them against the "
                'installed torch: pip install setuptools wheel ninja psutil, then MMCV_WITH_OPS=1 pip install '
                '--force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv'
            ) from error
        raise
    finally:
        sys.stdout.writelines(line for line in printed.getvalue().splitlines(keepends=True) if _NOTICE not in line)
