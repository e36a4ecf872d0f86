"""What a release is made of: owns its artefacts and what is said of their contents. Refuses to publish anything."""
