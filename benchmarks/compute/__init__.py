"""A Globus Compute of our own: real endpoints, RabbitMQ, and a stand-in for Globus and the web service between them."""
