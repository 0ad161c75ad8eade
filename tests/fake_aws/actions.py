"""Which actions a policy may name. IAM's list is published only as web pages, so: the operations
of the service models, and beside them the actions that stand for no operation of that name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from botocore.exceptions import UnknownServiceError

from tests.fake_aws.service import service_model

# Source: https://docs.aws.amazon.com/service-authorization/latest/reference/ (each service's page)
NO_OPERATIONS = {
    "s3": """
        AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketPolicy
        DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging
        GetAccelerateConfiguration GetBucketAcl GetBucketLocation GetBucketLogging
        GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
        GetBucketPublicAccessBlock GetBucketTagging GetBucketVersioning GetEncryptionConfiguration
        GetLifecycleConfiguration GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold
        GetObjectRetention GetObjectTagging GetObjectVersion GetObjectVersionAcl
        GetObjectVersionForReplication GetObjectVersionTagging GetReplicationConfiguration
        InitiateReplication ListAllMyBuckets ListBucket ListBucketMultipartUploads
        ListBucketVersions ListMultipartUploadParts ObjectOwnerOverrideToBucketOwner PutBucketAcl
        PutBucketObjectLockConfiguration PutBucketPolicy PutBucketPublicAccessBlock
        PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration PutObject
        PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl
        PutReplicationConfiguration ReplicateDelete ReplicateObject ReplicateTags RestoreObject
    """,
    "kms": "ReEncryptFrom ReEncryptTo",
    "ssmmessages": """
        CreateControlChannel CreateDataChannel OpenControlChannel OpenDataChannel
    """,
    "ec2messages": """
        AcknowledgeMessage DeleteMessage FailMessage GetEndpoint GetMessages SendReply
    """,
    "iam": "PassRole",
    "sts": "TagSession",
    "ssm": """
        PutConfigurePackageResult PutInventory PutComplianceItems UpdateInstanceInformation
        UpdateInstanceAssociationStatus UpdateAssociationStatus GetManifest
    """,
}
ONLY_LISTED = {"s3", "ssmmessages", "ec2messages"}
OTHER_NAMES = {"elasticloadbalancing": "elbv2", "logs": "logs", "monitoring": "cloudwatch"}


@cache
def actions(service: str) -> frozenset[str] | None:
    """The actions of a service in lower case; None for one whose model is not known."""
    listed = {name.lower() for name in NO_OPERATIONS.get(service, "").split()}
    if service in ONLY_LISTED:
        return frozenset(listed)
    try:
        model = service_model(OTHER_NAMES.get(service, service))
    except UnknownServiceError:
        return None
    return frozenset(listed | {name.lower() for name in model.operation_names})


def unknown_actions(wanted: Iterable[str]) -> list[str]:
    """Those of the actions, wildcards among them, that match nothing."""
    return [action for action in wanted if action != "*" and not _known(action)]


def _known(action: str) -> bool:
    service, colon, name = action.lower().partition(":")
    known = actions(service)
    if not colon or known is None:
        return False
    pattern = re.escape(name).replace(r"\*", ".*").replace(r"\?", ".")
    return any(re.fullmatch(pattern, each) for each in known)
