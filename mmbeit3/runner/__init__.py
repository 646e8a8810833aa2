"""From a config to a runner: read and check the config, build MMEngine's runner, train and test with errors in one line."""
