"""Configs: found by name from any folder, read the same everywhere, and overridden only where something reads it."""

import argparse
import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.runner import Runner

PACKAGE = Path(__file__).resolve().parents[1].name
CONFIGS = Path(__file__).resolve().parents[1] / '.mim/configs'
# Where the paths of all data sets in the shipped configs begin.
DATA = 'data'
# Top-level settings that somebody reads, beside the Runner's own.
_READ = {'auto_scale_lr', 'custom_imports', 'data', 'runner_type'}
# Those that only SafeRunner reads.
_SAFE_RUNNER_READS = {'amp', 'channels_last'}
# Of which MMEngine ignores entries that it does not know.
_LENIENT = ('auto_scale_lr', 'env_cfg')

MODULE2PACKAGE[PACKAGE] = PACKAGE  # so that MMEngine knows the shipped configs


def find_config(name: str | Path, beside: str | Path | None = None) -> Path:
    """The file that a config's name means.

    Args:
        name: `askd_mmdet::detection/...` for a shipped config, or a path.
        beside: The config that names it. A relative path is looked for in its folder, in the folders of its bases, and
            in the working directory.

    Raises:
        FileNotFoundError: When there is no such file; names what comes close.

    Example:
        >>> find_config('askd_mmdet::toy/resnet18-cbam_toy.py').name
        'resnet18-cbam_toy.py'
    """
    package, _, shipped = str(name).rpartition('::')
    if package == PACKAGE:
        path = CONFIGS / shipped
        if path.is_file():
            return path
        names = [str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob('*.py')]
        raise FileNotFoundError(f'{PACKAGE} ships no config {shipped}{_similar(shipped, names)}')
    path = Path(name).expanduser()
    folders = [file.parent for file in _with_bases(Path(beside))] if beside else []
    for folder in (*folders, Path()):
        if (folder / path).is_file():
            return folder / path
    raise FileNotFoundError(
        f'no config at {name}{f" (named in {beside})" if beside else ""}; the shipped ones are {PACKAGE}::..., '
        f'see {CONFIGS}'
    )


def _with_bases(path: Path) -> Iterator[Path]:
    """A config file, and those that it inherits from."""
    if path.is_file():
        yield path
        for base in Config._get_base_files(str(path)):
            yield from _with_bases(Path(Config._get_cfg_path(base, str(path))[0]))


def _similar(name, names):
    similar = get_close_matches(name, names, n=3, cutoff=0.4)
    return f'; similar: {", ".join(similar)}' if similar else ''


def load_config(name: str | Path, beside: str | Path | None = None) -> Config:
    """Read a config by its name, see :func:`find_config`, and :func:`settle` it."""
    return settle(Config.fromfile(find_config(name, beside)))


def settle(cfg: Config) -> Config:
    """The config with what MMEngine leaves undone where it inherits from a shipped one.

    MMEngine marks all that comes from `askd_mmdet::...` with the scope `askd_mmdet`, where none of its components are,
    and a new value of a variable of the base does not reach what the base made of it: hence `data`, the folder that
    stands for `data` in all paths, in a config of the user's own.
    """
    settings = _unscoped(cfg.to_dict())
    if data := settings.pop('data', None):
        settings = moved(settings, data)
    return Config(settings, cfg_text=cfg.text, filename=cfg.filename, env_variables=cfg.env_variables)


def _unscoped(value):
    if isinstance(value, dict):
        return {key: _unscoped(item) for key, item in value.items() if (key, item) != ('_scope_', PACKAGE)}
    if isinstance(value, (list, tuple)):
        return type(value)(_unscoped(item) for item in value)
    return value


def moved(value, data: str):
    """The same settings with every path below `data/` in another folder.

    Example:
        >>> moved(dict(data_root='data/wider_face/', lr=0.1), '/mnt/sets')
        {'data_root': '/mnt/sets/wider_face/', 'lr': 0.1}
    """
    if isinstance(value, dict):
        return {key: moved(item, data) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, data) for item in value)
    if isinstance(value, str) and value.startswith(f'{DATA}/'):
        return str(Path(data, value.removeprefix(f'{DATA}/'))) + '/' * value.endswith('/')
    return value


def type_name(settings: dict) -> str:
    """The name of the component that a config describes, without its module; its type may also be a class.

    Of settings without a type it is empty.
    """
    kind = settings.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def evaluators_of(cfg: Config, split: str = 'test') -> list[dict]:
    """The settings of the metrics of 'test' or 'val', of which a config has none, one or several."""
    found = cfg.get(f'{split}_evaluator') or []
    return found if isinstance(found, list) else [found]


def parse_overrides(options: list[str]) -> dict:
    """Settings by dotted name from `NAME=VALUE` of the command line, as MMEngine reads them."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    if bad := [option for option in options if '=' not in option]:
        raise ValueError(f'--cfg-options: found {bad[0]!r}, expected NAME=VALUE')
    return parser.parse_args(['--cfg-options', *options] if options else []).cfg_options


def check_read(cfg: Config, options: dict) -> None:
    """Refuse settings by dotted name that nothing reads.

    Raises:
        ValueError: For a misspelt name, or a variable from which the config has already built its components. Names
            those that work.
    """
    read = _READ | _SAFE_RUNNER_READS | inspect.signature(Runner.__init__).parameters.keys()
    for name in options:
        first, *rest = name.split('.')
        if first in _SAFE_RUNNER_READS and cfg.get('runner_type') != 'SafeRunner':
            raise ValueError(f"{first} is read by our Runner alone: set runner_type='SafeRunner' in the config")
        if first not in read:
            leaf = name.rpartition('.')[2]
            names = [found for found in _names(cfg.to_dict(), read) if found.rpartition('.')[2] == leaf]
            hint = _similar(name, names) or _similar(first, sorted(read))
            if leaf == 'data_root':
                hint += '; or --data ROOT for all data sets at once'
            raise ValueError(f'nothing reads the setting {name}{hint}')
        if first in _LENIENT and rest and rest[0] not in cfg.get(first, {}):
            raise ValueError(f'nothing reads the setting {name}; {first} has {", ".join(cfg.get(first, {}))}')


def override(cfg: Config, options: dict) -> None:
    """Change settings by dotted name; the number after a list's last one adds an entry.

    Raises:
        ValueError: For a name that nothing reads, see :func:`check_read`, or that the config cannot take.
    """
    check_read(cfg, options)
    for name in options:
        _make_room(cfg, name.split('.'))
    try:
        cfg.merge_from_dict(options)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f'the config cannot take {", ".join(options)}: {error}') from error


def _make_room(value, keys):
    """Append the entry that a dotted name begins at the end of a list, which MMEngine would not."""
    for key in keys[:-1]:
        if isinstance(value, list) and key.isdigit():
            if int(key) == len(value):
                value.append({})
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if hasattr(value, 'get') else None


def _names(value, first=None, prefix='') -> Iterator[str]:
    """The dotted names of all settings."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        if first is None or key in first:
            yield f'{prefix}{key}'
            yield from _names(item, prefix=f'{prefix}{key}.')
