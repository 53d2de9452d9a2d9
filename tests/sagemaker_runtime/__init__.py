"""A server that speaks as SageMaker Runtime does and scores as its XGBoost container does, with faults on demand."""
