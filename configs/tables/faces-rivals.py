# A-SKD beside CWD, PKD and DIST on the faces of faces.py, whose runs it shares.
_base_ = './faces.py'
title = _base_.title + ', beside later methods'
_lr = 'askd_mmdet::small/arcface_ir18-cbam_faces-6px'
rows = [
    *(row for row in _base_.rows if row.method in ('HR teacher', 'Base', 'A-SKD')),
    *(dict(resolution='6 px', method=method, config=f'{_lr}_{method.lower()}.py') for method in ('CWD', 'PKD', 'DIST')),
]
