"""The reference worker: claims messages, has them rendered, hands them to a provider, reports."""
