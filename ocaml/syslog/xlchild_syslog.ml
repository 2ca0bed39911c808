(* xlchild_syslog.ml - a stream of text as syslog messages, a line each

   RFC 3164 datagrams to the local socket, facility daemon, level info. Used by
   xlchild_forkhelpers.ml and xlchild_supervisor.ml. A message that cannot be
   sent is dropped, as syslog(3) does. Next for what outlives the daemon:
   logger.ml. *)

module Logger = Logger
module Outside = Outside
module Elsewhere = Elsewhere
module Bell = Bell

let default_socket = "/dev/log"
let socket = ref default_socket
let priority = (3 lsl 3) lor 6

let rec send_parts fd key line =
  let text = Printf.sprintf "<%d>%s: %s" priority key line in
  match
    Unix.sendto_substring fd text 0 (String.length text) []
      (Unix.ADDR_UNIX !socket)
  with
  | _ -> ()
  | exception Unix.Unix_error (Unix.EMSGSIZE, _, _)
    when String.length line > 512 ->
      let half = String.length line / 2 in
      send_parts fd key (String.sub line 0 half);
      send_parts fd key (String.sub line half (String.length line - half))
  | exception Unix.Unix_error _ -> ()

let send key line =
  match Unix.socket ~cloexec:true Unix.PF_UNIX Unix.SOCK_DGRAM 0 with
  | exception Unix.Unix_error _ -> ()
  | fd ->
      Fun.protect
        ~finally:(fun () -> Unix.close fd)
        (fun () ->
          Unix.set_nonblock fd;
          send_parts fd key line)

type t = { key : string; mutable unfinished : string }

let make key = { key; unfinished = "" }

(* The next piece of the stream; "" is its end. *)
let add t data =
  if data = "" then begin
    if t.unfinished <> "" then send t.key t.unfinished;
    t.unfinished <- ""
  end
  else
    let rec lines = function
      | [] -> ()
      | [ last ] -> t.unfinished <- last
      | line :: more ->
          send t.key line;
          lines more
    in
    lines (String.split_on_char '\n' (t.unfinished ^ data))

let forward ~tag fd = Logger.log ~socket:!socket ~tag fd
let forward_held ~tag held = Logger.log_held ~socket:!socket ~tag held
let outlives = Logger.start
