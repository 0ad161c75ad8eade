"""Secrets, certificates and logins as Pulumi resources: made here, kept encrypted in the state.

Nothing of this room knows where machines run: every place takes its trust from here.
"""

from infra.trust.keyring import LOGIN_ROLES, Keyring
from infra.trust.resources import Authority, Certificate, Login, Secret

__all__ = ["LOGIN_ROLES", "Authority", "Certificate", "Keyring", "Login", "Secret"]
