# Identification instead of verification: data/people/{Probe,Gallery_Match,Gallery_Distractor}/<number>_....jpg.
_base_ = './arcface_ir50-cbam_people.py'
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='TinyFaceDataset',
        data_root='data/people/',
        pipeline=_base_.val_dataloader.dataset.pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IdentificationMetric')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='identification/rank@1'))
