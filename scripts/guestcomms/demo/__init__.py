"""A demonstration: two organizations, their guests, a campaign, and what came back."""
