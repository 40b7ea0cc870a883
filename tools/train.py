"""`askd train` for those who call it as they do in MMDetection: python tools/train.py CONFIG ..."""

import sys

from askd_mmdet.commands import main

main(['train', *sys.argv[1:]])
