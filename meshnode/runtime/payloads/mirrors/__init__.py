"""The HTTP mirrors of payloads: what they are asked, what they prove, when they are left alone."""
