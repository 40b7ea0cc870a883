"""`python -m askd_mmdet` is `askd`."""

from askd_mmdet.commands import main

if __name__ == '__main__':
    main()
