# The authors' LR recipe at 24x24, on unrounded pixels as in their code.
_base_ = './arcface_ir50-cbam_casia-24px.py'
for dataloader in (_base_.train_dataloader, _base_.val_dataloader, _base_.test_dataloader):
    dataloader.dataset.pipeline[0].to_float32 = True
    dataloader.dataset.pipeline[-1].recipe = 'authors'
del dataloader
_base_.val_dataloader.dataset.pipeline[-1].keep_mirrored = True  # mirrored before they are degraded
# TinyFace's pictures are small by themselves, and mirrored as the network sees them.
_base_.test_dataloader.dataset.pipeline[1].recipe = 'authors'
