"""The commands of `askd`: a file for each, which says what it takes (`add_arguments`) and what it does (`run`)."""

import os
import sys

_TITLE = 'askd: attention similarity knowledge distillation for low-resolution vision'
_COMMANDS = {
    'train and test': {
        'train': 'train a teacher, an LR base or a distilled student',
        'test': 'evaluate a checkpoint',
        'table': "repeat one of the paper's tables, or your own",
        'tune': 'search for hyper-parameters on held-out training data',
        'report': 'write one HTML file on trained networks: results, curves, attention, detections',
        'demo': 'teacher, base and A-SKD on toy data, with a table and a picture',
    },
    'use': {
        'detect': 'find, frame, cut out or hide faces in pictures and videos',
        'score': "evaluate any detector's WIDER FACE submission",
        'embed': 'turn faces into embeddings',
        'compare': 'say how similar two faces are',
        'search': 'find faces in a gallery',
        'export': 'write a trained network as an ONNX file, which runs without torch',
        'convert': "turn other codes' checkpoints into ours, or back, and COCO results into a submission",
    },
    'data': {
        'check': 'say what data hold, and what is missing or damaged',
        'toy': 'make a small data set without a download',
        'split': 'divide data into a part to train on and one to test',
        'unpack': "turn insightface's files into pictures",
        'align': 'cut faces out of photographs',
    },
}
_HINT = 'ASKD_TRACEBACK=1 in the environment shows where'
COMMANDS = {name for group in _COMMANDS.values() for name in group}


def usage() -> str:
    lines = [_TITLE, '', 'usage: askd COMMAND ...   (askd COMMAND --help explains it)']
    for title, group in _COMMANDS.items():
        lines += ['', f'{title}:', *(f'  {name:8} {text}' for name, text in group.items())]
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; whatever a user can mend is told in a sentence.

    With ASKD_TRACEBACK=1 in the environment errors come with their traceback.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ['--help']
    if name in ('-h', '--help'):
        print(usage())
        return
    if name == '--version':
        from askd_mmdet import __version__

        print(f'askd_mmdet {__version__}')
        return
    if name not in COMMANDS:
        from difflib import get_close_matches

        similar = get_close_matches(name, COMMANDS, n=1)
        sys.exit(f'askd: there is no command {name!r}{f"; did you mean {similar[0]}?" if similar else ""}\n\n{usage()}')

    import warnings
    from argparse import ArgumentParser, RawDescriptionHelpFormatter
    from importlib import import_module

    command = import_module(f'askd_mmdet.commands.{name}')
    parser = ArgumentParser(
        prog=f'askd {name}',
        description=command.__doc__,
        epilog=getattr(command, 'EPILOG', None),
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    args = parser.parse_args(rest)
    if not sys.warnoptions:  # those of the libraries are for their developers
        warnings.simplefilter('ignore')
    try:
        status = command.run(args)
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. The same command goes on where this one stopped, where it can be resumed.')
    except BrokenPipeError:  # whoever read what we print has enough
        sys.exit(0)
    except Exception as error:
        if os.environ.get('ASKD_TRACEBACK'):
            raise
        # Others may be our fault.
        theirs = isinstance(error, (OSError, ValueError, FloatingPointError))
        hint = '' if theirs else f' ({type(error).__name__}; {_HINT})'
        sys.exit(f'askd {name}: error: {_sentence(error)}{hint}')
    sys.exit(status)


def _sentence(error: Exception) -> str:
    """What an error says, without the traceback that a dataloader's worker puts before it."""
    text = str(error).strip()
    if 'Original Traceback' in text:
        text = text.splitlines()[-1].partition(': ')[2]
    return text or type(error).__name__
