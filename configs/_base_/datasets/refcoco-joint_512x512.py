# RefCOCO, RefCOCO+ and RefCOCOg trained together, validated on RefCOCO.
_base_ = './refcoco_512x512.py'
trained_on = 'RefCOCO, RefCOCO+ and RefCOCOg: photographs of COCO'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointRefCOCODataset',
        data_root=_base_.data_root,
        members=[
            dict(name='refcoco', split_by='unc'),
            dict(name='refcoco+', split_by='unc'),
            dict(name='refcocog', split_by='umd'),
        ],
        # Images that any of the three holds out are not trained on.
        remove_leaks=True,
        split='train',
        pipeline=_base_.train_pipeline,
    )
)
