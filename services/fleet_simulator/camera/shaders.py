"""The shading programs (GLSL 3.30).

Here belong formulas of light and of projection; they are GLSL text, so that they stand apart from the Python that feeds
them. Colours are linear while light is added up; the square of a texture's value stands for its sRGB decoding and a
square root for the encoding. Everything far from a lamp is lit per vertex, roads per pixel.
"""

from typing import Final

COMMON: Final = """
#version 330
//VARIANT
uniform mat4 view_projection;
uniform vec3 to_sun;
uniform vec3 sun;
uniform vec3 sky;
uniform vec3 ground_light;
uniform vec3 haze;
uniform float lamps;
uniform float exposure;
uniform float extinction;
uniform vec3 map_place;        // lower left corner of the light map, and one over its size
uniform vec4 ego_lamp;         // place of the ego's lamps relative to the camera, direction in w
uniform float ego_lit;
uniform float eye_height;
uniform float mirror;          // -1 to draw what a wet road mirrors
uniform sampler2D light_map;   // red: share of the sun that arrives; green: light of street lamps
"""

LIGHT: Final = """
vec2 light_here(vec3 p) { return textureLod(light_map, (p.xy - map_place.xy) * map_place.z, 0.0).rg; }

#ifndef LAMPS
float headlight(vec3 p, vec3 n) { return 0.0; }
#else
float headlight(vec3 p, vec3 n) {
    float c = cos(ego_lamp.w), s = sin(ego_lamp.w);
    vec3 d = p - ego_lamp.xyz;
    float x = c * d.x + s * d.y, y = c * d.y - s * d.x, z = d.z;
    float r2 = dot(d, d) + 4.0;
    float side = y / max(x, 0.5), rise = z / max(x, 0.5);
    float cut = clamp((0.012 - 0.02 * clamp(side * 4.0, -1.0, 1.0) - rise) * 22.0, 0.05, 1.0);
    float beam = exp2(-side * side * 7.0) * cut * step(0.0, x);
    float facing = clamp(dot(n, -d) * inversesqrt(r2) + 0.12, 0.05, 1.0);
    return beam * facing * 110.0 / (r2 + 70.0);
}
#endif

vec3 light_on(vec3 p, vec3 n, float height) {
    vec2 here = light_here(p);
    float up = n.z * 0.5 + 0.5;
    vec3 light = mix(ground_light, sky, up) + sun * max(dot(n, to_sun), 0.0) * here.r;
#ifdef LAMPS
    float low = clamp(1.25 - height * 0.13, 0.0, 1.0);
    light += vec3(1.0, 0.80, 0.52) * (here.g * low * (0.45 + 0.55 * up)) * lamps;
#endif
    return light;
}
"""

OUT: Final = """
layout(location = 0) out vec4 out_colour;
layout(location = 1) out uvec2 out_truth;

vec3 encoded(vec3 c) {
    c *= exposure;
    c = (c * (2.51 * c + 0.03)) / (c * (2.43 * c + 0.59) + 0.14);
    return sqrt(clamp(c, 0.0, 1.0));
}
vec3 through_air(vec3 c) { return mix(haze, c, exp2(-extinction / gl_FragCoord.w)); }
uvec2 truth(uint id) { return uvec2(id, floatBitsToUint(1.0 / gl_FragCoord.w)); }
"""

BLOCK_VERTEX: Final = (
    COMMON
    + LIGHT
    + """
uniform vec3 offset;
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec4 in_colour;
out vec3 light;
out vec3 tint;
out vec3 uvw;
void main() {
    vec3 p = in_position + offset;
    float height = in_position.z;
    light = light_on(p, in_normal, height) + vec3(1.0, 0.96, 0.88) * headlight(p, in_normal) * ego_lit;
    light *= 0.72 + 0.28 * clamp(height * 0.35, 0.0, 1.0);
    tint = in_colour.rgb;
    uvw = vec3(in_uv, in_colour.a * 255.0);
    p.z = (p.z + eye_height) * mirror - eye_height;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
)

BLOCK_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
uniform sampler2DArray layers;
uniform uint class_id;
in vec3 light;
in vec3 tint;
in vec3 uvw;
void main() {
    vec4 texel = texture(layers, uvw);
    vec3 c = texel.rgb * tint;
    c = c * c * light;
    c += texel.a * lamps * vec3(0.62, 0.45, 0.22) * 0.6 * step(3.5, uvw.z) * step(uvw.z, 10.5);
    out_colour = vec4(encoded(through_air(c)).bgr, 1.0);
    out_truth = truth(class_id);
}
"""
)

GROUND_VERTEX: Final = (
    COMMON
    + """
uniform vec3 offset;
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec4 in_colour;
out vec3 place;
out vec3 normal;
out vec3 tint;
out vec3 uvw;
void main() {
    place = in_position + offset;
    normal = in_normal;
    tint = in_colour.rgb;
    uvw = vec3(in_uv * 0.125, in_colour.a * 255.0);
    gl_Position = view_projection * vec4(place, 1.0);
}
"""
)

GROUND_FRAGMENT: Final = (
    COMMON
    + LIGHT
    + OUT
    + """
uniform sampler2DArray layers;
uniform sampler2D environment;
uniform uint class_id;
uniform float wet;
in vec3 place;
in vec3 normal;
in vec3 tint;
in vec3 uvw;
void main() {
    vec4 texel = texture(layers, uvw, -0.6);
    vec3 c = texel.rgb * tint;
    vec3 light = light_on(place, normal, 0.0) + vec3(1.0, 0.96, 0.88) * headlight(place, normal) * ego_lit;
    c = c * c * light;
    float cover = 1.0;
#ifdef WET
        float film = wet * smoothstep(0.85 - 0.6 * wet, 1.0, texel.a + 0.25) * step(0.5, normal.z);
        c *= 1.0 - 0.55 * wet;
        float grazing = 1.0 - clamp(eye_height * inversesqrt(dot(place, place)), 0.0, 1.0);
        float g2 = grazing * grazing;
        g2 *= g2;
        cover = 1.0 - (0.15 * wet + 0.70 * film) * (0.02 + 0.78 * g2 * g2);
#endif
    out_colour = vec4(encoded(through_air(c)).bgr, cover);
    out_truth = truth(class_id);
}
"""
)

MARKING_VERTEX: Final = (
    COMMON
    + LIGHT
    + """
uniform vec3 offset;
uniform float focal;
in vec2 in_place;
in vec2 in_across;
in float in_side;
in float in_half;
out vec3 light;
out vec3 edge;      // distance from the middle line, half width, width of a pixel on the ground
void main() {
    vec3 p = vec3(in_place, 0.012) + offset;
    float away = length(p.xy) + 0.5;
    float along = abs(dot(p.xy / away, in_across));
    float pixel = mix(away / focal, away * away / (eye_height * focal), along * along);
    float reach = in_half + 0.6 * pixel;
    p.xy += in_across * in_side * reach;
    edge = vec3(in_side * reach, in_half, pixel);
    light = light_on(p, vec3(0, 0, 1), 0.0) + vec3(1.0, 0.96, 0.88) * headlight(p, vec3(0, 0, 1)) * ego_lit * 1.6;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
)

MARKING_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
uniform uint class_id;
uniform float wet;
in vec3 light;
in vec3 edge;
void main() {
    float cover = clamp((edge.y - abs(edge.x)) / edge.z + 0.5, 0.0, 1.0) * min(1.0, 2.0 * edge.y / edge.z);
    if (cover < 0.12) discard;
    vec3 c = vec3(0.66, 0.66, 0.64) * light * (1.0 - 0.25 * wet);
    out_colour = vec4(encoded(through_air(c)).bgr, cover * 0.92);
    out_truth = truth(class_id);
}
"""
)

SHADOW_VERTEX: Final = (
    COMMON
    + """
in vec4 in_place;   // x, y, height, strength
out float strength;
void main() {
    strength = in_place.w;
    gl_Position = view_projection * vec4(in_place.xy, in_place.z + 0.014 - eye_height, 1.0);
}
"""
)

SHADOW_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
in float strength;
void main() {
    out_colour = vec4(0.0, 0.0, 0.0, strength * exp2(-extinction / gl_FragCoord.w));
    out_truth = uvec2(0u);
}
"""
)

SKY_VERTEX: Final = """
#version 330
in vec2 in_place;
out vec2 place;
void main() { place = in_place; gl_Position = vec4(in_place, 1.0, 1.0); }
"""

SKY_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
uniform mat3 rays;
uniform float fogged;
uniform sampler2D panorama;
in vec2 place;
void main() {
    vec3 d = rays * vec3(place, 1.0);
    float flat_length = length(d.xy);
    float turn = atan(d.x, d.y) * 0.15915494;
    float rise = atan(abs(d.z), flat_length) * 0.63661977;
    vec3 c = textureLod(panorama, vec2(turn, 1.0 - rise), 0.0).rgb;
    c = mix(c, haze, fogged * exp2(-rise * 3.0));
    out_colour = vec4(encoded(c).bgr, 1.0);
    out_truth = uvec2(0u, 0x7f800000u);
}
"""
)

GLOW_VERTEX: Final = (
    COMMON
    + """
in vec4 in_centre;   // place relative to the camera, radius
in vec4 in_light;    // colour, stretch upwards
in vec2 in_corner;
out vec2 corner;
out vec3 shine;
uniform vec3 right;
uniform vec3 up;
void main() {
    corner = in_corner;
    float away = length(in_centre.xyz);
    shine = in_light.rgb * exp2(-extinction * away * 0.7);
    vec3 p = in_centre.xyz + (right * in_corner.x + up * in_corner.y * in_light.w) * in_centre.w;
    p *= 1.0 - 0.25 / away;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
)

GLOW_FRAGMENT: Final = (
    COMMON
    + OUT
    + """
in vec2 corner;
in vec3 shine;
void main() {
    float r = clamp(1.0 - dot(corner, corner), 0.0, 1.0);
    out_colour = vec4(shine.bgr * r * r * r, 1.0);
    out_truth = uvec2(0u);
}
"""
)
