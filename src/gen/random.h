// SPDX-License-Identifier: Apache-2.0
// random: numbers that follow from a seed, a purpose and a place, whatever was asked before. Pure; no secret.
#ifndef MCR_GEN_RANDOM_H
#define MCR_GEN_RANDOM_H

#include <stdint.h>

// Of these purposes those below RANDOM_SESSION are the numbers of legs.
enum random_purpose { RANDOM_SESSION = 256, RANDOM_NUMBER, RANDOM_TIME };

// The step and the mixing of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
static inline uint64_t random_mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint64_t random_of(uint64_t seed, uint64_t purpose, uint64_t place)
{
    return random_mix(random_mix(random_mix(seed) ^ purpose) ^ place);
}

#endif
