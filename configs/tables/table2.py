# Face identification on TinyFace by networks trained at 24x24 pixels.
title = 'Table 2: face identification on TinyFace, IR-50-CBAM trained on CASIA-WebFace at 24x24'
columns = {f'ACC@{rank} (%)': f'identification/rank@{rank}' for rank in (1, 5, 10, 50)}
hr = 'askd_mmdet::recognition/arcface_ir50-cbam_casia.py'
rows = [
    dict(resolution='24x24', method=method, config=hr.replace('.py', f'-24px{ending}.py'), paper=figures)
    for method, ending, figures in (
        ('Base', '', (42.19, 50.62, 53.67, 60.41)),
        ('AT', '_at', (36.56, 45.68, 49.03, 56.44)),
        ('HORKD', '_horkd', (45.49, 54.80, 58.26, 64.30)),
        ('A-SKD', '_askd', (47.91, 56.55, 59.92, 66.60)),
    )
]
