;; Has an input schema of which each of two thousand parts says no more than that the next one counts.
;; group: describe
;; refused: bad_description
;; says: more than 64 schemas
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\6d\ec\00\00")
    (data (i32.const 9000) "{\22$ref\22:\22\23/$defs/a0\22,\22$defs\22:{(;times 1900;)\22a#\22:{\22$ref\22:\22\23/$defs/a##\22},(;end;)\22a1900\22:{}}}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
