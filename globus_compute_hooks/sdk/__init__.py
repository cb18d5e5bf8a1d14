"""The SDK's side: an executor that tells what it submits and hears, and what it does about failures."""
