#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests with TAP output, one line each.
exec "$1" --tap --jobs 2
