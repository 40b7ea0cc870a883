# LR base of table 2: training at 24x24, the mean size of TinyFace's faces, which are evaluated as they are.
_base_ = './arcface_ir50-cbam_casia.py'
_base_.train_dataloader.dataset.pipeline[-1].update(ratio=None, size=24)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='TinyFaceDataset',
        data_root='data/tinyface/',
        pipeline=_base_.test_pipeline,
    )
)
# Between the epochs, AgeDB-30 at 24x24.
_base_.val_dataloader.dataset.pipeline[-1].update(ratio=None, size=24)
test_evaluator = dict(_delete_=True, type='IdentificationMetric')
