"""`askd test` for those who call it as they do in MMDetection: python tools/test.py CONFIG ..."""

import sys

from askd_mmdet.commands import main

main(['test', *sys.argv[1:]])
