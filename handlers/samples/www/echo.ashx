<%@ WebHandler Class="samples::Echo, echo" %>
