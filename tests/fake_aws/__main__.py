"""`python -m tests.fake_aws`: the plugin's process."""

from tests.fake_aws.provider import main

main()
