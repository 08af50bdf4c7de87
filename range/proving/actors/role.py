"""Gets the credentials of the machine's role as the cloud's SDK does, and says whether there are any."""

import boto3

credentials = boto3.Session().get_credentials().get_frozen_credentials()
print(bool(credentials.access_key))
