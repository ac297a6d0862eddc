from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Read the version without importing the package and torch with it."""
    namespace: dict[str, str] = {}
    exec((ROOT / 'mmdit' / 'version.py').read_text(), namespace)
    return namespace['__version__']


def requirements(name: str) -> list[str]:
    """Return the requirements listed in ``requirements/<name>.txt``."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def long_description() -> str:
    """Return the README, or nothing where a copy comes without one."""
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


# The MM packages (requirements/mminstall.txt) are on purpose in no list here:
# installing mmdit must never overwrite the mmengine that a user has.
setup(
    name='mmdit',
    version=read_version(),
    description='Deep Instruction Tuning for Segment Anything, '
    'as MM components',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords=['referring image segmentation', 'Segment Anything', 'OpenMMLab'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmdit', 'mmdit.*']),
    python_requires='>=3.10',
    install_requires=requirements('runtime'),
    extras_require={
        'bert': requirements('bert'),
        'tests': requirements('bert') + requirements('tests'),
    },
    zip_safe=False,
)
