"""Jobs in AWS on this machine: moto keeps S3, DynamoDB and SQS, and interprets the state machine as it is deployed."""
