import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What a user may do without; the tests need all of it.
OPTIONAL = ('bert', 'gdown', 'heif', 'lora', 'onnx', 'web')

# What MMEngine's read_base imports: it follows no ``_base_``, and the names
# of the configs are none of modules.
LAZY_CONFIG = """from pathlib import Path
from mmengine.config import Config
globals().update(Config.fromfile(
    Path(__file__).resolve().parents[{depth}] / '.mim/{name}').to_dict())
del Config, Path
"""


def read_version() -> str:
    """Read the version without importing the package and torch with it."""
    namespace: dict[str, str] = {}
    exec((ROOT / 'mmdit' / 'version.py').read_text(), namespace)
    return namespace['__version__']


def requirements(*names: str) -> list[str]:
    """Return the lines of ``requirements/<name>.txt`` of each name."""
    paths = [ROOT / 'requirements' / f'{name}.txt' for name in names]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


def long_description() -> str:
    """Return the README, or nothing where a copy comes without one.

    The package index shows it away from the files beside it: their images are
    left out, and of links to them the text stays.
    """
    readme = ROOT / 'README.md'
    text = readme.read_text(encoding='utf-8') if readme.is_file() else ''
    text = re.sub(r'!\[[^]]*\]\((?!https:)[^)]*\)\n*', '', text)
    return re.sub(r'\[([^]]+)\]\((?!https:)[^)]*\)', r'\1', text)


class BuildWithResources(build_py):
    """Put configs and tools into the package: ``mmdit/.mim``.

    That is where MM projects and ``mim`` look for them. An editable install
    gets links, any other one copies. ``mmdit/configs`` is for ``read_base``.
    """

    names = ('configs', 'demo', 'tools', 'model-index.yml')

    def run(self) -> None:
        super().run()
        base = ROOT if self.editable_mode else ROOT / self.build_lib
        target = base / 'mmdit' / '.mim'
        # What an earlier build has left may be gone from the repository.
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in self.names:
            source = ROOT / name
            if self.editable_mode:
                (target / name).symlink_to(Path('..', '..', name))
            elif source.is_dir():
                ignored = shutil.ignore_patterns('__pycache__', '*.py[cod]')
                shutil.copytree(source, target / name, ignore=ignored)
            else:
                shutil.copy(source, target)
        write_lazy_configs(target.parent)


def write_lazy_configs(package: Path) -> None:
    """Write a module for each config into ``configs`` of the package.

    ``-`` of its name becomes ``_``, and ``+`` becomes ``plus``.
    """
    shutil.rmtree(package / 'configs', ignore_errors=True)
    # None for what lies beside the folders: mim must find one file of a name.
    for source in ROOT.glob('configs/*/**/*.py'):
        name = source.relative_to(ROOT)
        stem = name.stem.replace('+', 'plus').replace('-', '_')
        module = package / name.with_stem(stem)
        module.parent.mkdir(parents=True, exist_ok=True)
        depth = len(name.parts) - 1
        module.write_text(
            LAZY_CONFIG.format(depth=depth, name=name.as_posix()), 'utf-8'
        )


# The MM packages (requirements/mminstall.txt) are on purpose in no list here:
# installing mmdit must never overwrite the mmengine that a user has.
setup(
    # The import name is mmdit; that name on the index is another project's.
    name='mmdit-seg',
    version=read_version(),
    description='Deep Instruction Tuning for Segment Anything, '
    'as MM components',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    author='The mmdit contributors',
    project_urls={'Paper': 'https://arxiv.org/abs/2404.00650'},
    license='Apache-2.0',
    keywords=['referring image segmentation', 'Segment Anything', 'OpenMMLab'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Environment :: Console',
        'Environment :: GPU :: NVIDIA CUDA',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmdit', 'mmdit.*']),
    package_data={
        'mmdit.visualization.report': ['templates/*'],
        'mmdit.web': ['*.css', '*.js'],
    },
    python_requires='>=3.10',
    cmdclass={'build_py': BuildWithResources},
    entry_points={'console_scripts': ['mmdit = mmdit.cli.main:main']},
    install_requires=requirements('runtime'),
    extras_require={
        **{name: requirements(name) for name in OPTIONAL},
        'tests': requirements(*OPTIONAL, 'tests'),
    },
    zip_safe=False,
)
