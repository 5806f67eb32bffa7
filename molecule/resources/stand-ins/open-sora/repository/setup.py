"""Package `opensora`: as in the real one, scripts and configs stay outside and need the source tree."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="opensora",
    version="2.0.0",
    description="stand-in for Open-Sora 2.0, for the test hosts of opensora-site",
    packages=find_packages(include=["opensora", "opensora.*"]),
    install_requires=Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8").split(),
    python_requires=">=3.9",
)
