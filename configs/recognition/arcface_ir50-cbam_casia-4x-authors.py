# The authors' LR recipe, on unrounded pixels as in their code: evaluates their converted networks as at home.
_base_ = './arcface_ir50-cbam_casia-4x.py'
for dataloader in (_base_.train_dataloader, _base_.val_dataloader, _base_.test_dataloader):
    dataloader.dataset.pipeline[0].to_float32 = True
    dataloader.dataset.pipeline[-1].recipe = 'authors'
for dataloader in (_base_.val_dataloader, _base_.test_dataloader):
    dataloader.dataset.pipeline[-1].keep_mirrored = True  # their pictures are mirrored before they are degraded
del dataloader
