"""Package `tensornvme` without its native part."""

from setuptools import find_packages, setup

setup(
    name="tensornvme",
    version="0.1.0",
    description="stand-in for TensorNVMe, for the test hosts of opensora-site",
    packages=find_packages(),
    python_requires=">=3.9",
)
