# One detector for many resolutions beside the demo's, which share its runs: each is tested at every ratio.
_base_ = './demo.py'
title = 'Toy WIDER FACE by what was trained on, TinaFace-R50-CBAM of a quarter width: AP of hard faces'
_ratios = (1, 2, 4, 8)
columns = {'_delete_': True, **{f'at {ratio}x (%)': f'{ratio}x: wider_face/hard' for ratio in _ratios}}
tests = {f'{ratio}x': {'test_dataloader.dataset.pipeline.2.ratio': ratio} for ratio in _ratios}
_hr = 'askd_mmdet::toy/tinaface_r50-bn-cbam_toy'
rows = [
    *(row for row in _base_.rows if row.get('trained') is None),
    *(
        dict(
            resolution='1x to 8x',
            method=method,
            config=f'{_hr}-4x{ending}.py',
            name=f'{name}-1x2x4x8x',
            options={'train_dataloader.dataset.pipeline.2.ratio': list(_ratios)},
        )
        for method, ending, name in (('Base', '', 'base'), ('A-SKD', '_askd', 'askd'))
    ),
]
