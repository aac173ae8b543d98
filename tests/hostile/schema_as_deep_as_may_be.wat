;; Has an input schema of which each part is about a part of the value of the one before, as far as that is taken. It does no harm.
;; group: describe
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\49\88\01\00")
    (data (i32.const 9000) "{\22$ref\22:\22\23/$defs/a0\22,\22$defs\22:{(;times 1900;)\22a#\22:{\22properties\22:{\22x\22:{\22$ref\22:\22\23/$defs/a##\22}}},(;end;)\22a1900\22:{}}}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
