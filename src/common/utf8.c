// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/utf8.h"

size_t utf8_decode(const char *text, size_t size, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *) text;
    size_t length = byte[0] < 0x80 ? 1 : byte[0] >> 5 == 6 ? 2 : byte[0] >> 4 == 14 ? 3 : byte[0] >> 3 == 30 ? 4 : 0;

    if (length == 0 || length > size)
        return 0;
    *code = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (byte[i] >> 6 != 2)
            return 0;
        *code = *code << 6 | (byte[i] & 0x3fu);
    }
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < least[length] || *code > 0x10ffff || surrogate ? 0 : length;
}

// Default_Ignorable_Code_Point of Unicode 15 (DerivedCoreProperties.txt) without the variation selectors U+FE00 to
// U+FE0F, which select the glyph of the preceding character; and further characters that are not visible.
static const struct {
    uint32_t first, last;
} hidden[] = {
    {0x0000, 0x001f},   // C0: NUL, tab, line ends, ESC
    {0x007f, 0x009f},   // DEL, C1: CSI is U+009B
    {0x00ad, 0x00ad},   // soft hyphen
    {0x034f, 0x034f},   // combining grapheme joiner
    {0x061c, 0x061c},   // Arabic letter mark
    {0x115f, 0x1160},   // Hangul fillers
    {0x17b4, 0x17b5},   // Khmer inherent vowels
    {0x180b, 0x180f},   // Mongolian selectors and vowel separator
    {0x200b, 0x200f},   // zero-width characters, marks of direction
    {0x2028, 0x202e},   // line and paragraph separators, direction: embedding, override
    {0x2060, 0x206f},   // word joiner, invisible operators, direction: isolates
    {0x3164, 0x3164},   // Hangul filler
    {0xfeff, 0xfeff},   // zero-width no-break space
    {0xffa0, 0xffa0},   // halfwidth Hangul filler
    {0xfff0, 0xfffb},   // unassigned, interlinear annotation
    {0x1bca0, 0x1bca3}, // shorthand format controls
    {0x1d173, 0x1d17a}, // musical format controls
    {0xe0000, 0xe0fff}, // tags, further variation selectors
};

bool utf8_is_hidden(uint32_t code)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (code >= hidden[i].first && code <= hidden[i].last)
            return true;
    return false;
}
