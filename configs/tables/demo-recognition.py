# The recognition demo: tables 1 and 2 in small.
title = 'Toy faces at 8x (112x112 from 14x14), IR-18-CBAM of an eighth width: verification and identification'
columns = {
    'Ver-ACC (%)': 'verification/accuracy',
    'AUC (%)': 'verification/auc',
    'rank 1 (%)': 'identification/rank@1',
    'rank 5 (%)': 'identification/rank@5',
}
data = 'faces'
_hr = 'askd_mmdet::toy/arcface_ir18-cbam_toy.py'
_lr = 'askd_mmdet::toy/arcface_ir18-cbam_toy-8x.py'
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
tests = dict(
    verification={},
    identification={
        'test_dataloader.dataset.type': 'TinyFaceDataset',
        'test_dataloader.dataset.ann_file': '',
        'test_evaluator.type': 'IdentificationMetric',
    },
)
rows = [
    dict(resolution='1x', method='HR teacher', config=_hr),
    dict(resolution='8x', method='HR teacher', config=_lr, trained=_hr),
    dict(resolution='8x', method='Base', config=_lr),
    dict(resolution='8x', method='A-SKD', config='askd_mmdet::toy/arcface_ir18-cbam_toy-8x_askd.py'),
]
