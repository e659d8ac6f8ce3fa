"""Reserves concurrency for a function, 0: it is throttled; none: it is not: throttle.py FUNCTION LIMIT."""
import sys

import boto3

functions, (name, limit) = boto3.client("lambda"), sys.argv[1:]
if limit == "none":
    functions.delete_function_concurrency(FunctionName=name)
else:
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(limit))
