(* channel.ml - a pipe from a service to its supervisor

   Called by loop.ml for output, and by readiness.ml. *)

type t = { source : Unix.file_descr; mutable target : Unix.file_descr option }

let remove ~folder name =
  Option.iter (fun folder -> Safe.unlink folder name) folder

let nameless () =
  let source, target = Unix.pipe ~cloexec:true () in
  Unix.set_nonblock source;
  (source, target)

let open_ ~folder ~fresh name =
  if fresh then remove ~folder name;
  let source, target =
    match folder with
    | None -> nameless ()
    | Some folder -> Safe.open_fifo folder name
  in
  { source; target = Some target }

let source t = t.source

let target t =
  match t.target with
  | Some fd -> fd
  | None -> invalid_arg "Channel.target: it was closed"

let close_target t =
  let target = t.target in
  t.target <- None;
  Option.iter Unix.close target

let close t =
  close_target t;
  Unix.close t.source

let buffer_size = 65536
let most_buffers = 16

let read t take =
  let buffer = Bytes.create buffer_size in
  let rec more left =
    if left > 0 then
      match Unix.read t.source buffer 0 buffer_size with
      | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) -> ()
      | exception Unix.Unix_error (EINTR, _, _) -> more left
      | 0 -> take `End
      | n ->
          take (`Data (Bytes.sub_string buffer 0 n));
          more (left - 1)
  in
  more most_buffers
