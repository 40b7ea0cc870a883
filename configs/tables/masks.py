# Detection of real faces on two cores: trained on Kaggle's Face Mask Detection in WIDER FACE's layout, tested on its
# validation pictures and on a sample of WIDER FACE, which nobody trained on.
title = 'Face Mask Detection (about 400 px, 653 pictures to train), TinaFace-R50-CBAM of a quarter width: AP'
_subsets = ('Easy', 'Medium', 'Hard')
columns = {
    **{f'{subset} (%)': f'wider_face/{subset.lower()}' for subset in _subsets},
    **{f'WIDER {subset.lower()} (%)': f'sample/{subset.lower()}' for subset in _subsets},
}
_sample = 'data/wider_face_sample/'
tests = {
    'masks': {},
    'sample': {
        'test_dataloader.dataset.data_root': _sample,
        'test_dataloader.dataset.ann_file': 'wider_face_val_bbx_gt.txt',
        'test_dataloader.dataset.data_prefix.img_path': 'images/',
        'test_evaluator.ground_truth': f'{_sample}ground_truth',
        'test_evaluator.prefix': 'sample',
    },
}
_hr = 'askd_mmdet::small/tinaface_r50-bn-cbam_masks.py'
_lr = 'askd_mmdet::small/tinaface_r50-bn-cbam_masks-4x.py'
rows = [
    dict(resolution='1x', method='HR teacher', config=_hr),
    dict(resolution='4x', method='HR teacher', config=_lr, trained=_hr),
    dict(resolution='4x', method='Base', config=_lr),
    dict(resolution='4x', method='CWD', config=_lr.replace('.py', '_cwd.py')),
    dict(resolution='4x', method='PKD', config=_lr.replace('.py', '_pkd.py')),
    dict(resolution='4x', method='MGD', config=_lr.replace('.py', '_mgd.py')),
    dict(resolution='4x', method='A-SKD', config=_lr.replace('.py', '_askd.py')),
]
