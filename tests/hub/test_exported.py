from argparse import Namespace

from mmdit.cli.export import default_folder
from mmdit.hub import save_pretrained


def test_an_export_joins_the_folder_of_its_model(config, model, tmp_path):
    folder = save_pretrained(model, config, tmp_path / 'model')
    named = dict.fromkeys(('config', 'weights', 'checkpoint', 'injector'))
    args = Namespace(**named, model=str(folder), text_encoder=None)
    assert default_folder(args) == folder / 'onnx'
