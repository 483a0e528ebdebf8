"""Real servers, pools and foreign tools for the tests; one file a thing. Nothing here knows the code under test."""
