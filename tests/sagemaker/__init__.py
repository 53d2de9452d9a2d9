"""The client of SageMaker, tested over real sockets against `tests/sagemaker_runtime`."""
