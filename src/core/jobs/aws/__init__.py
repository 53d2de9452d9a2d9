"""Jobs in AWS: Step Functions spreads the batches of a file over Lambda, DynamoDB keeps what is known, S3 the rows."""
