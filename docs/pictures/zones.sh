#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Draws docs/pictures/zones.svg: what a change does to the zones and conduits of two relays. Needs Graphviz.
#
#     cd build && srcdir=.. MCRD=$PWD/src/mcrd sh ../docs/pictures/zones.sh
set -eu

cd "${srcdir:?}/docs/pictures/zones"
"$MCRD" --graph --against plant.before.conf --against office.before.conf plant.conf office.conf | dot -Tsvg >../zones.svg.new
# Neither the version of Graphviz nor the names of generated ids are of interest.
sed '/^<!--/d; / -->$/d' ../zones.svg.new >../zones.svg
rm ../zones.svg.new
