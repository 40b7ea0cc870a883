# What the bicubic recipe of the paper is worth where pictures come from cameras, and the reverse, on the faces of
# faces.py, whose runs it shares: each network is tested on both.
_base_ = './faces.py'
title = 'Real faces of 6x6 pixels, by recipe: trained and tested on bicubic and on surveillance cameras'
columns = {
    '_delete_': True,
    'bicubic: Ver-ACC (%)': 'verification/accuracy',
    'AUC (%)': 'verification/auc',
    'camera: Ver-ACC (%)': 'camera/accuracy',
    'camera: AUC (%)': 'camera/auc',
}
_camera = 'camera-surveillance'
tests = {
    'test': {},
    'camera': {'test_dataloader.dataset.pipeline.2.recipe': _camera, 'test_evaluator.prefix': 'camera'},
}
_lr = 'askd_mmdet::small/arcface_ir18-cbam_faces-6px'
rows = [
    *(row for row in _base_.rows if row.method in ('Base', 'A-SKD')),
    *(
        dict(
            resolution='6 px',
            method=f'{method}, trained on cameras',
            config=f'{_lr}{ending}.py',
            name=f'{name}-camera',
            options={'train_dataloader.dataset.pipeline.3.recipe': _camera},
        )
        for method, ending, name in (('Base', '', 'base'), ('A-SKD', '_askd', 'askd'))
    ),
]
