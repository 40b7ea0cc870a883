#!/usr/bin/env bash
# Make the virtual environment $VENV (default .venv) with everything askd_mmdet needs; PYTHON names the interpreter.
# `install.sh upstream` makes one with upstream's mmengine and mmcv-lite, where the core works, and compiles nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
log=$venv/install.log

say() { printf '\n== %s\n' "$*"; }
die() { printf '\nerror: %s\n' "$*" >&2; exit 1; }

# The newest Python that the pinned packages support.
for python in ${PYTHON:-python3.12 python3.11 python3.10 python3}; do
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
    python=
done
[ -n "$python" ] || die "no Python 3.10, 3.11 or 3.12 found; name one: PYTHON=/path/to/python make ..."

say "virtual environment $venv with $("$python" --version)"
"$python" -m venv "$venv" || die "$python has no venv module; on Debian: apt install python3-venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
install() { pip install -c requirements/constraints.txt "$@"; }

# mmcv and imaug ask for opencv-python, which needs libGL; the headless build is the same module without it. pip notes
# that the name they ask for is missing, which goes to the log.
headless_opencv() {
    pip uninstall -y -q opencv-python opencv-python-headless
    install -q opencv-python-headless 2>>"$log" || { tail "$log"; die 'opencv cannot be installed'; }
}

if [ "${1:-}" = upstream ]; then
    say 'torch, mmengine, mmcv-lite and what the tests of the core need'
    install torch torchvision mmengine mmcv-lite scipy scikit-image pytest hypothesis
    headless_opencv
    install --no-build-isolation --no-deps -e .
    touch "$venv/.installed"
    exit
fi

command -v c++ >/dev/null || die 'no C++ compiler; on Debian: apt install g++'
"$python" - <<'EOF' || die "the headers of $python are missing; on Debian: apt install python3-dev"
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path('include'), 'Python.h').is_file())
EOF

say '1/4 torch and build tools (several GB with its CUDA libraries)'
install torch torchvision setuptools wheel ninja psutil packaging

say '2/4 mmengine and mmcv with its operators, compiled here (5 to 10 minutes on two cores); log: '"$log"
# pip caches the built mmcv by its version alone, whatever torch it was built against: hence no cache.
CFLAGS="${CFLAGS:--g0}" MMCV_WITH_OPS=1 install -v --no-cache-dir --no-build-isolation onedl-mmengine onedl-mmcv 2>&1 |
    tee "$log" | { grep --line-buffered -oE '^ *\[[0-9]+/[0-9]+\]' || true; } |
    while read -r step; do printf '\r   compiling %s ' "$step"; done ||
    { tail -30 "$log"; die "mmcv could not be installed; the whole log is in $log"; }
headless_opencv
"$venv/bin/python" -c 'import mmcv.ops' 2>>"$log" ||
    { tail -5 "$log"; die "mmcv's operators cannot be imported (see above); remove $venv and try again"; }

say '3/4 MMDetection, MMPretrain and the rest'
install --no-build-isolation -e '.[tune,align,onnx,tests]'
headless_opencv

say '4/4 check'
"$venv/bin/python" - <<'EOF' || die 'the environment is incomplete'
import cv2, mmcv.ops, mmdet, mmpretrain, torch, torchvision
import askd_mmdet.detection, askd_mmdet.recognition
gpus = torch.cuda.device_count()
if gpus:
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device='cuda')
    try:
        mmcv.ops.nms(box, box[:, 3], 0.5)
    except RuntimeError as error:
        raise SystemExit(f'mmcv was compiled without CUDA ({error}): remove the environment, set FORCE_CUDA=1, see docs/install.md')
print(f'   torch {torch.__version__}, {gpus} GPU(s), mmcv {mmcv.__version__} with operators, mmdet {mmdet.__version__}')
EOF
touch "$venv/.installed"
